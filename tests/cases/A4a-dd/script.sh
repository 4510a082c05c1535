dd if="$K" of=/dev/null 2>/dev/null
