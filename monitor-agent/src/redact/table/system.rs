//! Networks, directories, keys, archives, accounts, and what searches.

use super::{arguments, options, patterns};
use crate::redact::programs::{
    Part::{At, Openssl, Percent, Whole},
    Place::{Both, Joined, Never, Next},
    Program,
    Texts::{Any, Pairs},
    Which::{From, Last, Nth},
};

/// Programs of the host and its neighbours.
pub(in crate::redact) const SYSTEM: &[Program] = &[
    // Networks and directories.
    options(&["sshpass"], &[("-p", Both, Whole)]),
    options(
        &[
            "smbclient",
            "rpcclient",
            "winexe",
            "smbget",
            "smbcacls",
            "wmic",
            "smbtree",
            "nmblookup",
            "samba-tool",
        ],
        &[
            ("-U", Both, Percent),
            ("--user", Both, Percent),
            ("-A", Never, Whole),
        ],
    ),
    Program {
        names: &["net"],
        options: &[("-U", Both, Percent), ("--user", Both, Percent)],
        arguments: &[(&["user"], Nth(1), Whole), (&["use"], Nth(1), Whole)],
        valued: &["-S", "-w", "-I"],
        texts: Any,
    },
    options(
        &[
            "smbmap",
            "crackmapexec",
            "cme",
            "nxc",
            "netexec",
            "evil-winrm",
            "kerbrute",
            "bloodhound-python",
        ],
        &[("-p", Both, Whole), ("-H", Never, Whole)],
    ),
    arguments(
        &[
            "impacket-psexec",
            "impacket-wmiexec",
            "impacket-smbexec",
            "impacket-secretsdump",
            "psexec.py",
            "wmiexec.py",
            "smbexec.py",
            "secretsdump.py",
            "GetUserSPNs.py",
            "impacket-GetUserSPNs",
        ],
        &[(&[], From(0), At)],
        &[],
    ),
    options(
        &[
            "ldapsearch",
            "ldapmodify",
            "ldapadd",
            "ldapdelete",
            "ldapwhoami",
            "ldapcompare",
            "ldapmodrdn",
        ],
        &[("-w", Both, Whole)],
    ),
    options(
        &["ldappasswd"],
        &[
            ("-w", Both, Whole),
            ("-s", Both, Whole),
            ("-a", Both, Whole),
        ],
    ),
    options(&["ipmitool", "ipmipower"], &[("-P", Both, Whole)]),
    options(
        &[
            "snmpget",
            "snmpgetnext",
            "snmpwalk",
            "snmpbulkwalk",
            "snmpset",
            "snmptrap",
            "snmptable",
            "snmpstatus",
        ],
        &[
            ("-c", Both, Whole),
            ("-A", Both, Whole),
            ("-X", Both, Whole),
        ],
    ),
    options(
        &["xfreerdp", "xfreerdp3", "wlfreerdp", "sdl-freerdp"],
        &[("/p:", Joined, Whole)],
    ),
    options(&["rdesktop"], &[("-p", Both, Whole)]),
    Program {
        names: &["nmcli"],
        options: &[],
        arguments: &[],
        valued: &[],
        texts: Pairs,
    },
    arguments(&["wpa_passphrase"], &[(&[], Nth(1), Whole)], &[]),
    arguments(
        &["ip"],
        &[
            (&["xfrm", "enc"], Nth(1), Whole),
            (&["xfrm", "auth"], Nth(1), Whole),
            (&["xfrm", "auth-trunc"], Nth(1), Whole),
            (&["xfrm", "aead"], Nth(1), Whole),
            (&["macsec", "key"], Nth(1), Whole),
        ],
        &[],
    ),
    // Keys, archives, accounts.
    Program {
        names: &["openssl"],
        options: &[
            ("-passin", Both, Openssl),
            ("-passout", Both, Openssl),
            ("-pass", Both, Openssl),
            ("-macopt", Both, Openssl),
            ("-k", Next, Whole),
            ("-K", Next, Whole),
            ("-hmac", Next, Whole),
        ],
        arguments: &[(&["passwd"], Last(0), Whole)],
        valued: &["-salt", "-in", "-out", "-rand"],
        texts: Any,
    },
    options(&["ssh-keygen"], &[("-N", Both, Whole), ("-P", Both, Whole)]),
    options(
        &["keytool", "jarsigner"],
        &[
            ("-storepass", Next, Whole),
            ("-keypass", Next, Whole),
            ("-srcstorepass", Next, Whole),
            ("-deststorepass", Next, Whole),
        ],
    ),
    options(&["zip", "unzip", "zipcloak"], &[("-P", Both, Whole)]),
    options(&["7z", "7za", "7zr", "7zz"], &[("-p", Joined, Whole)]),
    options(
        &["rar", "unrar"],
        &[("-p", Joined, Whole), ("-hp", Joined, Whole)],
    ),
    options(
        &["qpdf", "pdftk", "pdftotext"],
        &[
            ("-upw", Next, Whole),
            ("-opw", Next, Whole),
            ("user_pw", Next, Whole),
            ("owner_pw", Next, Whole),
        ],
    ),
    arguments(&["htpasswd"], &[(&["-b"], Last(1), Whole)], &["-C"]),
    arguments(
        &["mkpasswd"],
        &[(&[], Nth(0), Whole)],
        &["-m", "-S", "-R", "-P"],
    ),
    options(
        &["useradd", "usermod", "groupadd", "groupmod"],
        &[("-p", Both, Whole)],
    ),
    arguments(
        &["oathtool"],
        &[(&[], Nth(0), Whole)],
        &["-d", "-w", "-s", "-N"],
    ),
    options(&["ffmpeg"], &[("-pass", Never, Whole)]),
    options(
        &["x11vnc", "vncviewer", "Xvnc"],
        &[("-passwd", Next, Whole), ("-rfbauth", Never, Whole)],
    ),
    // What searches and tells.
    patterns(&[
        "grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack", "sed", "awk", "gawk", "mawk", "find",
        "fd", "locate", "man", "apropos", "jq", "yq", "pgrep", "pkill", "touch", "ls", "mkdir",
        "rm", "apt", "apt-get",
    ]),
];
