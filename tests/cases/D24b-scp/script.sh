set -e
scp -q -O -F "$SSH_CONFIG" "jump:$K" out
