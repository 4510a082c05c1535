//! Databases, clients of services, clouds, containers.

use super::{arguments, options};
use crate::redact::programs::{
    Part::{Bare, Colon, Comma, Cookies, Pair, Slash, Whole},
    Place::{After, Both, Joined, Never},
    Program,
    Texts::{Any, Messages, Pairs},
    Which::{From, Last, Nth},
};

/// Programs that log in to services.
pub(in crate::redact) const SERVICES: &[Program] = &[
    // Databases.
    Program {
        names: &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlshow",
            "mysqlcheck",
            "mysqlbinlog",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-backup",
            "mariabackup",
            "xtrabackup",
            "mysqlslap",
        ],
        options: &[("-p", Joined, Whole), ("--password", Joined, Whole)],
        arguments: &[(&["password"], Nth(0), Whole)],
        valued: &["-u", "-h", "-P", "-S", "-e", "-D"],
        texts: Any,
    },
    options(
        &[
            "mycli",
            "pgcli",
            "mongo",
            "mongosh",
            "mongodump",
            "mongorestore",
            "mongoexport",
            "mongoimport",
            "mongostat",
            "cqlsh",
            "cypher-shell",
            "beeline",
            "neo4j-admin",
        ],
        &[("-p", Both, Whole)],
    ),
    options(
        &[
            "psql",
            "pg_dump",
            "pg_dumpall",
            "pg_restore",
            "createdb",
            "dropdb",
            "pg_basebackup",
            "createuser",
        ],
        &[("--password", Never, Whole)],
    ),
    Program {
        names: &["redis-cli", "valkey-cli", "keydb-cli"],
        options: &[("-a", Both, Whole), ("--pass", Both, Whole)],
        arguments: &[(&["auth"], Last(0), Whole)],
        valued: &["-h", "-p", "-n", "-u", "-s", "-a", "--user"],
        texts: Pairs,
    },
    options(
        &["sqlcmd", "bcp", "isql", "osql", "tsql", "fisql"],
        &[("-P", Both, Whole)],
    ),
    arguments(
        &[
            "sqlplus", "rman", "impdp", "expdp", "exp", "imp", "sqlldr", "sqlcl", "tnsping",
        ],
        &[(&[], From(0), Slash)],
        &[],
    ),
    options(&["etcdctl"], &[("--user", Both, Colon)]),
    options(
        &[
            "elasticsearch-users",
            "elasticsearch-reset-password",
            "elasticsearch-certutil",
        ],
        &[("-p", Both, Whole)],
    ),
    // HTTP and mail.
    options(
        &["curl"],
        &[
            ("-u", Both, Colon),
            ("--user", Both, Colon),
            ("-U", Both, Colon),
            ("--proxy-user", Both, Colon),
            ("-b", Both, Cookies),
            ("--cookie", Both, Cookies),
            ("--oauth2-bearer", Both, Whole),
            ("--pass", Both, Whole),
            ("-E", Both, Colon),
            ("--cert", Both, Colon),
        ],
    ),
    options(
        &["http", "https", "httpie", "xh", "xhs"],
        &[
            ("-a", After("bearer"), Whole),
            ("-a", Both, Colon),
            ("--auth", After("bearer"), Whole),
            ("--auth", Both, Colon),
            ("--bearer", Both, Whole),
        ],
    ),
    options(
        &["ab"],
        &[
            ("-A", Both, Colon),
            ("-P", Both, Colon),
            ("-C", Both, Cookies),
        ],
    ),
    options(&["swaks"], &[("-ap", Both, Whole)]),
    options(&["sendemail", "sendEmail"], &[("-xp", Both, Whole)]),
    options(&["lftp"], &[("-u", Both, Comma)]),
    options(
        &["ncftp", "ncftpput", "ncftpget", "ncftpls"],
        &[("-p", Both, Whole)],
    ),
    options(&["mosquitto_pub", "mosquitto_sub"], &[("-P", Both, Whole)]),
    arguments(
        &["rabbitmqctl"],
        &[
            (&["add_user"], Nth(1), Whole),
            (&["change_password"], Nth(1), Whole),
            (&["authenticate_user"], Nth(1), Whole),
        ],
        &["-n"],
    ),
    options(&["rabbitmqadmin"], &[("-p", Both, Whole)]),
    // Version control and packages.
    Program {
        names: &["git", "hg", "svn", "jj"],
        options: &[],
        arguments: &[],
        valued: &[],
        texts: Messages,
    },
    options(
        &["gh", "glab"],
        &[
            ("--body", After("secret"), Whole),
            ("-b", After("secret"), Whole),
            ("-v", After("secret"), Whole),
        ],
    ),
    options(&["twine"], &[("-p", Both, Whole)]),
    arguments(&["cargo"], &[(&["login"], Nth(0), Whole)], &["--registry"]),
    options(&["nuget", "dotnet"], &[("-k", Both, Whole)]),
    Program {
        names: &["npm", "yarn", "pnpm", "pip", "composer", "bundle"],
        options: &[],
        arguments: &[],
        valued: &[],
        texts: Pairs,
    },
    // Clouds.
    Program {
        names: &["aws"],
        options: &[
            ("--secret-string", Both, Whole),
            ("--value", After("put-parameter"), Whole),
        ],
        arguments: &[],
        valued: &[],
        texts: Pairs,
    },
    options(
        &["az"],
        &[
            ("-p", After("login"), Whole),
            ("--value", After("secret"), Whole),
        ],
    ),
    Program {
        names: &["gcloud"],
        options: &[("--secret", Never, Whole)],
        arguments: &[(&["activate-refresh-token"], Nth(1), Whole)],
        valued: &[],
        texts: Any,
    },
    options(&["doctl"], &[("-t", Both, Whole)]),
    options(&["flyctl", "fly"], &[("-t", Both, Whole)]),
    arguments(
        &["mc", "mcli"],
        &[
            (&["alias", "set"], Nth(2), Whole),
            (&["alias", "set"], Nth(3), Whole),
            (&["host", "add"], Nth(2), Whole),
            (&["host", "add"], Nth(3), Whole),
        ],
        &["--api"],
    ),
    Program {
        names: &["rclone"],
        options: &[],
        arguments: &[(&["obscure"], Nth(0), Whole)],
        valued: &[],
        texts: Pairs,
    },
    arguments(
        &["pulumi"],
        &[(&["config", "set", "--secret"], Nth(1), Whole)],
        &["-s", "--stack"],
    ),
    // Containers and secrets.
    options(
        &[
            "docker", "podman", "nerdctl", "buildah", "skopeo", "oras", "helm", "oc", "crane",
        ],
        &[
            ("-p", After("login"), Whole),
            ("--creds", Both, Colon),
            ("--src-creds", Both, Colon),
            ("--dest-creds", Both, Colon),
            ("--secret", Never, Whole),
        ],
    ),
    options(&["kubectl", "k3s"], &[("--from-literal", Both, Pair)]),
    Program {
        names: &["vault", "bao"],
        options: &[],
        arguments: &[
            (&["login"], Nth(0), Bare),
            (&["operator", "unseal"], Nth(0), Whole),
            (&["unwrap"], Nth(0), Whole),
            (&["kv", "put"], From(1), Pair),
            (&["kv", "patch"], From(1), Pair),
        ],
        valued: &["-mount", "-address"],
        texts: Any,
    },
    arguments(
        &["ngrok"],
        &[
            (&["add-authtoken"], Nth(0), Whole),
            (&["authtoken"], Nth(0), Whole),
        ],
        &["--config"],
    ),
    arguments(
        &["grafana-cli", "grafana"],
        &[(&["reset-admin-password"], Nth(0), Whole)],
        &["--homepath", "--config"],
    ),
];
