echo "machine x login y password z" > /root/.netrc
