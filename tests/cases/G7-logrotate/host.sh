systemctl start logrotate.service || { journalctl --no-pager -n 30 -u logrotate.service; exit 1; }
