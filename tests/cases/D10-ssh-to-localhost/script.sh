ssh -F "$SSH_CONFIG" jump "head -c 4 '$K'" > /dev/null
