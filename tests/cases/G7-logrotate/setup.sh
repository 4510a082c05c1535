# As every night, whether or not it is time.
mkdir -p /run/systemd/system/logrotate.service.d
cat > /run/systemd/system/logrotate.service.d/case.conf <<END
[Service]
ExecStart=
ExecStart=/usr/sbin/logrotate --force --verbose /etc/logrotate.conf
END
systemctl daemon-reload
