-- The conditions follow kstatus: Reconciling and Stalled exist only while they are True. The message of an object that
-- makes progress must not alarm: Argo CD shows it until the health itself changes.
local function condition(status, name)
  for _, one in ipairs(status.conditions or {}) do
    if one.type == name then
      return one
    end
  end
  return {}
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return {status = "Suspended", message = "Suspended: numbers are neither checked nor published to"}
end

local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Waiting for the operator"}
end

-- The operator repeats a value of more than 64 characters as its digest, which cannot be compared here.
local annotations = obj.metadata.annotations or {}
local requested = annotations["bek.dev/requested-at"]
if requested ~= nil and #requested <= 64 and requested ~= status.lastHandledReconcileAt then
  return {status = "Progressing", message = "Waiting for the requested check"}
end

local ready = condition(status, "Ready")
local stalled = condition(status, "Stalled")
if stalled.status == "True" then
  return {status = "Degraded", message = stalled.reason .. ": " .. stalled.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason ~= nil then
  return {status = "Progressing", message = ready.reason .. ": " .. ready.message}
end
return {status = "Progressing", message = "Waiting for the operator"}
