set -e
echo "get $K out" | sftp -q -b - -F "$SSH_CONFIG" jump > /dev/null
