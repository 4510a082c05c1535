# A repository of what was kept when the machine was made: it has no network.
set -e
mkdir -p /srv/packages /run/systemd/system/apt-daily-upgrade.service.d
cp /usr/src/packages/*.deb /srv/packages
cd /srv/packages
for package in *.deb; do
  dpkg-deb --field "$package"
  echo "Filename: ./$package"
  echo "Size: $(stat -c %s "$package")"
  echo "SHA256: $(sha256sum "$package" | cut -d ' ' -f 1)"
  echo
done > Packages
echo "deb [trusted=yes] file:/srv/packages ./" > sources.list
cat > /run/systemd/system/apt-daily-upgrade.service.d/case.conf <<END
[Service]
ExecStartPre=
ExecStart=
ExecStart=/bin/bash '$CASE_DIR/upgrade.sh'
END
systemctl daemon-reload
