set -e
export LC_ALL=C.UTF-8
as_root=$(command -v sudo > /dev/null && echo true || echo false)
ansible-playbook --inventory jump, --ssh-common-args "-F $SSH_CONFIG" \
  --extra-vars "{\"work\": \"$WORK\", \"credential\": \"$K\", \"as_root\": $as_root}" "$CASE_DIR/playbook.yml"
# Its connections would wait for the next playbook for a minute.
for socket in ~/.ansible/cp/*; do
  ssh -F "$SSH_CONFIG" -o ControlPath="$socket" -O exit jump
done
