set -e
rsync -e "ssh -F $SSH_CONFIG" "jump:$K" out
