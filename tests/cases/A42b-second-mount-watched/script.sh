set -e
from=$(findmnt -no SOURCE -T "$K_DIR")
type=$(findmnt -no FSTYPE -T "$K_DIR")
place=$(findmnt -no TARGET -T "$K_DIR")
export from type under="${K#"${place%/}"}"
unshare -m bash -ec 'mkdir m; mount -t "$type" "$from" m; cat "m$under"'
