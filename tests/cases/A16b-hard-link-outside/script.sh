ln "$K" "$WORK/h"
cat "$WORK/h"
