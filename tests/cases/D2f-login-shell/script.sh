set -e
sudo -i su - "$ACCOUNT" -c "head -c 4 '$K'" > /dev/null
