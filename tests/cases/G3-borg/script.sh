set -e
export BORG_BASE_DIR="$WORK" BORG_REPO="$WORK/repository" BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
borg init --encryption none
borg create ::first "$K_DIR" "$CASE_DIR"
echo more >> "$WORK/note"
borg create ::second "$K_DIR" "$CASE_DIR" "$WORK/note"
borg prune --keep-last 1
borg check
borg list
