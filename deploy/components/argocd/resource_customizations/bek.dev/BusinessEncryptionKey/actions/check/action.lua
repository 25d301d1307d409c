-- Any new value has every number checked at once; the operator repeats it in status.lastHandledReconcileAt.
local os = require("os")
obj.metadata.annotations = obj.metadata.annotations or {}
obj.metadata.annotations["bek.dev/requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
