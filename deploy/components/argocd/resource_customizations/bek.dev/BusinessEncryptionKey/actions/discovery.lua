local suspended = obj.spec ~= nil and obj.spec.suspend == true
return {
  ["check"] = {["disabled"] = suspended},
  ["suspend"] = {["disabled"] = suspended},
  ["resume"] = {["disabled"] = not suspended},
}
