cd "$WORK"; : > ready
until [ -e up ]; do sleep 0.1; done
# The agent alone has a key.
grep -vi "identit\|certificate" "$SSH_CONFIG" > borrowing
ssh -F borrowing -o "IdentityAgent=$WORK/agent" jump "head -c 4 '$K'" > out
: > done
until [ -e over ]; do sleep 0.1; done
