printf '#!/bin/sh\n:\n' > "$WORK/inner"
printf '#!%s -x\n' "$WORK/inner" > "$WORK/job"
chmod +x "$WORK/inner" "$WORK/job"
"$WORK/job" last
