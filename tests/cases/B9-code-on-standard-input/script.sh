bash <<'END'
read -r line < "$K"
exec 3<> "/dev/tcp/$PEER4/$PORT"
END
perl <<'END'
open my $k, '<', $ENV{K} or die; <$k> or die;
END
python3 - <<'END'
import os
assert open(os.environ['K']).read()
END
