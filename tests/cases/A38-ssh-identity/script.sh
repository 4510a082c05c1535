ssh -F /dev/null -i "$K" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
  -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -p "$SSH_PORT" "$ACCOUNT@127.0.0.1" true
test $? = 255
