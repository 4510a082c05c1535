printf "#!/bin/sh\n:\n" > "$WORK/job"
chmod +x "$WORK/job"
"$WORK/job"
