sleep 20 & other=$!
kill -ABRT "$other"
wait "$other" || true
