for namespace in "$NETNS" "$OTHER_NETNS"; do
  ip netns exec "$namespace" bash -c "exec 3<>/dev/tcp/$SHARED4/8080" || exit
done
