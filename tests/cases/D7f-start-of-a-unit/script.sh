set -e
sudo systemctl start case-d7f.service
until [ -e done ]; do sleep 0.1; done
