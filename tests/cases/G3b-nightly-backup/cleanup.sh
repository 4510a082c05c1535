rm -rf /srv/backup /run/systemd/system/nightly-backup.service
systemctl daemon-reload
