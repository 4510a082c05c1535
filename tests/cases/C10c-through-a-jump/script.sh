ssh -F "$SSH_CONFIG" -o "ProxyCommand=ssh -F '$SSH_CONFIG' -W '[%h]:%p' jump" jump "head -c 4 '$K'" > /dev/null
