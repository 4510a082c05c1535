set -e
printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c "head -c 4 %s > %s/out; : > %s/done"\n' "$K" "$WORK" "$WORK" | sudo tee /etc/systemd/system/case-d6d.service > /dev/null
printf '[Timer]\nOnActiveSec=1\nAccuracySec=100ms\n' | sudo tee /etc/systemd/system/case-d6d.timer > /dev/null
sudo systemctl daemon-reload
sudo systemctl start case-d6d.timer
until [ -e done ]; do sleep 0.1; done
sudo systemctl stop case-d6d.timer
