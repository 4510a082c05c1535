set -e
mkdir shims
printf '#!/bin/sh\nhead -c 4 "%s" > "%s/out"\nexec /usr/bin/uname "$@"\n' "$K" "$WORK" > shims/uname
chmod 755 shims/uname
: > up
until [ -e done ]; do sleep 0.1; done
