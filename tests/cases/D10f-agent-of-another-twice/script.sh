set -e
eval "$(ssh-agent -a "$WORK/agent")" > /dev/null
ssh-add -q "$(dirname "$SSH_CONFIG")/id"
: > up
until [ -e done ]; do sleep 0.1; done
ssh-agent -k > /dev/null
