ln "$K" "$K_DIR/h"
cat "$K_DIR/h"
