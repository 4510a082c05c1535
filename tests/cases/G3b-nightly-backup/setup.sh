cat > /run/systemd/system/nightly-backup.service <<END
[Service]
Type=oneshot
ExecStart=/bin/bash '$CASE_DIR/backup.sh'
END
systemctl daemon-reload
