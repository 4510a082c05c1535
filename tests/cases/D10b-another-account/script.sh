set -e
chmod 644 "$K"
ssh -F "$SSH_CONFIG" jump-dev "head -c 4 '$K'" > /dev/null
