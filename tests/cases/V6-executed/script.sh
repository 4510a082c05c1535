printf '#!/bin/sh\nexit 0\n' > "$K"
chmod 700 "$K"
"$K"
