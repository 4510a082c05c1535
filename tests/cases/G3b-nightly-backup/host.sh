systemctl start nightly-backup.service || { journalctl --no-pager -n 30 -u nightly-backup.service; exit 1; }
