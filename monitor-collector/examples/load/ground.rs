//! A folder with certificates and a configuration, and the collector that runs on it.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use monitor_ledger::{key::LogKey, seal::SealKey};
use monitor_model::{
    clock::{Clock as _, SystemClock, UnixNs},
    grant::{Grant, GrantKind, GrantState, Holder, Scope, Tier},
};
use monitor_proto::v1::{PutGrantRequest, grant_service_client::GrantServiceClient};
use monitor_transport::{
    identity::Identity,
    pki::{Authority, Leaf},
    tls::TlsFiles,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::traffic;

/// Longest wait for a collector to serve.
const START_MAX: Duration = Duration::from_secs(120);

/// Where a collector's files are, and who may talk to it.
pub(crate) struct Ground {
    folder: PathBuf,
    authority: Authority,
    seal: bool,
}

/// A running collector.
pub(crate) struct Collector {
    child: Child,
    address: String,
}

/// What a process used so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Seconds of processors, in user and kernel mode.
    pub(crate) cpu_seconds: f64,
    /// Most memory that was resident, bytes.
    pub(crate) peak_bytes: u64,
}

impl Ground {
    /// Opens the folder, and makes what is not there, with a key to seal ledgers and
    /// state where they are to be sealed.
    pub(crate) fn open(folder: &Path, seal: bool) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let ca = folder.join("ca");
        let authority = if ca.join("ca.pem").exists() {
            Authority::open(&ca)
        } else {
            Authority::create(&ca, SystemClock.now(), 2)?
        };
        let ground = Self {
            folder,
            authority,
            seal,
        };
        let key = ground.folder.join("ledger.key");
        if !key.exists() {
            LogKey::new("load.example", &[7; 32])?.store(&key)?;
        }
        let key = ground.folder.join("seal.key");
        if seal && !key.exists() {
            SealKey::new([7; 32]).store(&key)?;
        }
        fs::write(ground.config(), ground.configuration()?)?;
        Ok(ground)
    }

    /// Where its ledgers are.
    pub(crate) fn ledgers(&self) -> PathBuf {
        self.folder.join("data/ledger")
    }

    /// Bytes of all ledgers and of everything that the collector keeps.
    pub(crate) fn bytes(&self) -> anyhow::Result<(u64, u64)> {
        let ledgers = size(&self.ledgers())?;
        Ok((ledgers, size(&self.folder.join("data"))?))
    }

    fn config(&self) -> PathBuf {
        self.folder.join("collector.toml")
    }

    fn configuration(&self) -> anyhow::Result<String> {
        let files = self.files("monitor://collector/load")?;
        let quoted = |path: &Path| toml::Value::from(&*path.to_string_lossy()).to_string();
        let seal = if self.seal {
            let key = self.folder.join("seal.key");
            format!("seal = {}\n", quoted(&key))
        } else {
            String::new()
        };
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = {}\n[ledger]\nkey = {}\n{seal}[tls]\nca = {}\ncertificate = {}\nkey = {}\n",
            quoted(&self.folder.join("data")),
            quoted(&self.folder.join("ledger.key")),
            quoted(&files.ca),
            quoted(&files.certificate),
            quoted(&files.key)
        );
        text.push_str("[[credential]]\ntemplate = \"/srv/{tenant}/**\"\n");
        for number in 0..traffic::TENANTS {
            write!(
                text,
                "[[tenant]]\nid = \"tenant-{number}\"\n[[tenant.zone]]\nname = \"lan\"\nnetworks = [\"10.{number}.0.0/16\"]\n"
            )?;
        }
        Ok(text)
    }

    /// The certificate of somebody, made where it is not there.
    fn files(&self, identity: &str) -> anyhow::Result<TlsFiles> {
        let identity: Identity = identity.parse()?;
        let into = self.folder.join(identity.role.as_str());
        let certificate = into.join(format!("{}.pem", identity.name));
        let key = into.join(format!("{}.key", identity.name));
        if !certificate.exists() {
            let leaf = Leaf {
                identity: &identity,
                hosts: &["localhost".to_owned()],
                not_before: SystemClock.now(),
                days: 2,
            };
            self.authority.issue(&leaf, &into)?;
        }
        Ok(TlsFiles {
            ca: self.folder.join("ca/ca.pem"),
            certificate,
            key,
        })
    }

    /// A connection of its own in somebody's name.
    pub(crate) async fn dial(&self, who: &str, collector: &Collector) -> anyhow::Result<Channel> {
        let tls = self.files(who)?.load(SystemClock.now())?;
        Ok(tls.connect(&collector.address).await?)
    }

    /// Starts a collector; returns once it serves, with the time that took.
    pub(crate) async fn start(&self, program: &Path) -> anyhow::Result<(Collector, Duration)> {
        let listen = self.folder.join("data/listen");
        if listen.exists() {
            fs::remove_file(&listen)?;
        }
        let log = fs::File::create(self.folder.join("collector.log"))?;
        let began = Instant::now();
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut collector = Collector {
            child,
            address: String::new(),
        };
        loop {
            if let Some(status) = collector.child.try_wait()? {
                bail!("the collector ended with {status}; see collector.log in the folder");
            }
            if began.elapsed() > START_MAX {
                bail!("the collector does not serve after {START_MAX:?}");
            }
            if let Ok(text) = fs::read_to_string(&listen)
                && let Some((_, port)) = text.trim().rsplit_once(':')
            {
                collector.address = format!("https://localhost:{port}");
                if self.serves(&collector).await {
                    return Ok((collector, began.elapsed()));
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn serves(&self, collector: &Collector) -> bool {
        let Ok(channel) = self.dial("monitor://soc/load", collector).await else {
            return false;
        };
        let asked = HealthCheckRequest::default();
        let answer = HealthClient::new(channel).check(asked).await;
        answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
    }

    /// Puts the grants of all engineers.
    pub(crate) async fn put_grants(&self, collector: &Collector) -> anyhow::Result<()> {
        let client = GrantServiceClient::new(self.dial("monitor://broker/load", collector).await?);
        let mut calls = JoinSet::new();
        for engineer in 0..traffic::ENGINEERS {
            for tenant in traffic::tenants_of(engineer) {
                let grant = Some((&grant(engineer, tenant)?).into());
                let mut client = client.clone();
                calls.spawn(async move { client.put_grant(PutGrantRequest { grant }).await });
            }
        }
        while let Some(done) = calls.join_next().await {
            done??;
        }
        Ok(())
    }
}

fn grant(engineer: u64, tenant: u64) -> anyhow::Result<Grant> {
    Ok(Grant {
        id: traffic::grant(engineer, tenant)?,
        principal: traffic::engineer(engineer)?,
        tenant: traffic::tenant(tenant)?,
        ticket: format!("INC-{engineer}"),
        purpose: "load".into(),
        approved_by: "carol".parse()?,
        tier: Tier::Production,
        kind: GrantKind::JustInTime,
        not_before: UnixNs(0),
        expires: UnixNs::MAX,
        scope: Scope::default(),
        state: GrantState::Standing,
        holder: Holder::Staff,
        task: String::new(),
        review: None,
    })
}

impl Collector {
    /// What it used since its start (proc(5)).
    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        used(self.child.id())
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // One that is gone already need not be ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What a process used since its start.
pub(crate) fn used(pid: u32) -> anyhow::Result<Used> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks =
        || -> anyhow::Result<f64> { Ok(fields.next().context("/proc/PID/stat")?.parse::<f64>()?) };
    // USER_HZ is 100 on every Linux that this runs on.
    let cpu_seconds = (ticks()? + ticks()?) / 100.0;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|rest| rest.split_whitespace().next());
    let kibibytes: u64 = kibibytes.context("VmHWM in /proc/PID/status")?.parse()?;
    Ok(Used {
        cpu_seconds,
        peak_bytes: kibibytes * 1_024,
    })
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        let file = file?;
        bytes += if file.file_type()?.is_dir() {
            size(&file.path())?
        } else {
            file.metadata()?.len()
        };
    }
    Ok(bytes)
}
