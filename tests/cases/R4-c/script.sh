set -ex
tty
"$CASE_BIN"
su root -c id
ssh -F "$SSH_CONFIG" jump 'echo hop $SSH_CONNECTION'
exec 3<>"/dev/tcp/$PEER6/$PORT"
