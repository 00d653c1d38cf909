//! What `synod serve` is told: by flags, by `SYNOD_*` variables, by a file. A flag counts more than a variable, a
//! variable more than the file, the file more than the default.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, ValueEnum};
use serde::Deserialize;
use synod_server::api::Limits;
use synod_server::cluster::{ClusterError, Founding, Url};
use synod_server::member::CHECKPOINT_BYTES;
use thiserror::Error;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags of `synod serve`; the same names, without the dashes in front, stand in the file.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ServeOptions {
    /// This member's name, one of those in --initial-cluster [default: default]
    #[arg(long, env = "SYNOD_NAME")]
    name: Option<String>,
    /// Where the member keeps its journal and checkpoints [default: NAME.synod]
    #[arg(long, env = "SYNOD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<String>,
    /// Where to listen for clients, separated by commas [default: http://localhost:2379]
    #[arg(long, env = "SYNOD_LISTEN_CLIENT_URLS", value_name = "URLS")]
    listen_client_urls: Option<String>,
    /// Where clients reach this member [default: where it listens]
    #[arg(long, env = "SYNOD_ADVERTISE_CLIENT_URLS", value_name = "URLS")]
    advertise_client_urls: Option<String>,
    /// Where to listen for the other members [default: http://localhost:2380]
    #[arg(long, env = "SYNOD_LISTEN_PEER_URLS", value_name = "URLS")]
    listen_peer_urls: Option<String>,
    /// Where the others reach this member [default: what --initial-cluster says of it, or where it listens]
    #[arg(long, env = "SYNOD_INITIAL_ADVERTISE_PEER_URLS", value_name = "URLS")]
    initial_advertise_peer_urls: Option<String>,
    /// All members: name=url,name=url,… the same on every member [default: this one alone]
    #[arg(long, env = "SYNOD_INITIAL_CLUSTER", value_name = "MEMBERS")]
    initial_cluster: Option<String>,
    /// Tells clusters apart that have the same members [default: synod-cluster]
    #[arg(long, env = "SYNOD_INITIAL_CLUSTER_TOKEN", value_name = "TOKEN")]
    initial_cluster_token: Option<String>,
    /// "new" founds the cluster if it is not founded yet; "existing" only joins what other founders have founded. A
    /// member of a founded cluster starts with either [default: new]
    #[arg(long, env = "SYNOD_INITIAL_CLUSTER_STATE", value_name = "STATE")]
    initial_cluster_state: Option<String>,
    /// How often members ask each other how they are, in milliseconds [default: 100]
    #[arg(long, env = "SYNOD_HEARTBEAT_INTERVAL", value_name = "MS")]
    heartbeat_interval: Option<u32>,
    /// How long without a leader before a member offers itself, in milliseconds [default: 500]
    #[arg(long, env = "SYNOD_ELECTION_TIMEOUT", value_name = "MS")]
    election_timeout: Option<u32>,
    /// The largest request taken, in bytes [default: 1572864]
    #[arg(long, env = "SYNOD_MAX_REQUEST_BYTES", value_name = "BYTES")]
    max_request_bytes: Option<u32>,
    /// The most operations in a transaction [default: 128]
    #[arg(long, env = "SYNOD_MAX_TXN_OPS", value_name = "COUNT")]
    max_txn_ops: Option<u32>,
    /// The most connections from clients; fewer if the limit of open files is low [default: 4096]
    #[arg(long, env = "SYNOD_MAX_CONNECTIONS", value_name = "COUNT")]
    max_connections: Option<u32>,
    /// A checkpoint is written when the journal has grown by the state's size, and by so many bytes at least
    /// [default: 67108864]
    #[arg(long, env = "SYNOD_CHECKPOINT_BYTES", value_name = "BYTES")]
    checkpoint_bytes: Option<u32>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as synod_server=debug [default: info]
    #[arg(long, env = "SYNOD_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// How it is logged [default: text]
    #[arg(long, env = "SYNOD_LOG_FORMAT", value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A TOML file with any of the above
    #[arg(long, env = "SYNOD_CONFIG_FILE", value_name = "FILE")]
    #[serde(skip)]
    config_file: Option<PathBuf>,
    /// Print the configuration in effect, with the origin of each value, and end
    #[arg(long)]
    #[serde(skip)]
    print_config: bool,
}

/// Everything that `synod serve` needs to know.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// This member's name.
    pub name: String,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// Where it listens for clients.
    pub listen_client_urls: Vec<Url>,
    /// Where clients reach it.
    pub advertise_client_urls: Vec<Url>,
    /// Where it listens for the others.
    pub listen_peer_urls: Vec<Url>,
    /// The members that the cluster is founded with.
    pub founding: Founding,
    /// Whether this member may decide the founding.
    pub founds: bool,
    /// How often members ask each other how they are.
    pub heartbeat_interval: Duration,
    /// How long without a leader before a member offers itself.
    pub election_timeout: Duration,
    /// When a checkpoint is due.
    pub checkpoint_bytes: u64,
    /// What clients may ask for.
    pub limits: Limits,
    /// What is logged.
    pub log_level: String,
    /// And how.
    pub log_format: LogFormat,
    /// The values in effect as a file, if only that is wanted.
    pub printed: Option<String>,
}

/// Why there is no configuration to start with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration file {} is not valid:\n{source}", path.display())]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Line, column and reason.
        source: Box<toml::de::Error>,
    },
    /// A value cannot be used.
    #[error("{key} (from {origin}): {reason}")]
    Value {
        /// Which one.
        key: &'static str,
        /// Who said so.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The file.
    File,
    /// A variable.
    Environment,
    /// A flag.
    Flag,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Origin::Default => "the default",
            Origin::File => "the file",
            Origin::Environment => "the environment",
            Origin::Flag => "a flag",
        })
    }
}

/// A value with its name and origin, for messages and for printing.
struct Picked<T> {
    key: &'static str,
    origin: Origin,
    value: T,
}

impl<T> Picked<T> {
    fn wrong(&self, reason: impl ToString) -> ConfigError {
        ConfigError::Value { key: self.key, origin: self.origin, reason: reason.to_string() }
    }

    fn urls(&self) -> Result<Vec<Url>, ConfigError>
    where
        T: AsRef<str>,
    {
        Url::parse_list(self.value.as_ref()).map_err(|error| self.wrong(error))
    }

    /// Addresses that others are told. A wildcard would lead each of them to itself.
    fn told(&self) -> Result<Vec<Url>, ConfigError>
    where
        T: AsRef<str>,
    {
        let urls = self.urls()?;
        match urls.iter().find(|url| url.is_wildcard()) {
            Some(wildcard) => Err(self.wrong(format!(
                "{wildcard} stands for every address of this machine, and others cannot reach it there. Say where they \
                 do: --{} http://HOST:{}", self.key, wildcard.port()
            ))),
            None => Ok(urls),
        }
    }
}

/// Chooses between the sources and notes what it chose.
struct Layers<'a> {
    /// What flags and variables say.
    given: ServeOptions,
    file: ServeOptions,
    /// Tells flags from variables.
    matches: &'a ArgMatches,
    printed: String,
}

impl Layers<'_> {
    /// The value of `key`, which is its name in the file; `get` finds it in what a source says.
    fn pick<T: Clone + Into<toml::Value>>(
        &mut self,
        key: &'static str,
        get: impl Fn(&ServeOptions) -> Option<T>,
        default: impl FnOnce() -> T,
    ) -> Picked<T> {
        let (origin, value) = match (get(&self.given), get(&self.file)) {
            (Some(value), _) => match self.matches.value_source(&key.replace('-', "_")) {
                Some(ValueSource::EnvVariable) => (Origin::Environment, value),
                _ => (Origin::Flag, value),
            },
            (None, Some(value)) => (Origin::File, value),
            (None, None) => (Origin::Default, default()),
        };
        let shown: toml::Value = value.clone().into();
        writeln!(self.printed, "{key} = {shown} # {origin}").expect("writing to a string cannot fail");
        Picked { key, origin, value }
    }

    /// Who the members are, this one among them.
    fn founding(&mut self, name: &Picked<String>, listen: &[Url]) -> Result<Founding, ConfigError> {
        let founder = |founding: &Founding| {
            founding.founders().iter().find(|founder| founder.name == name.value).cloned()
        };
        let listed = self.given.initial_cluster.as_ref().or(self.file.initial_cluster.as_ref());
        let own = listed.and_then(|list| Founding::parse("-", list).ok()).and_then(|all| founder(&all));
        let advertised = self.pick(
            "initial-advertise-peer-urls",
            |options| options.initial_advertise_peer_urls.clone(),
            || own.map_or_else(|| join(listen), |own| join(&own.peer_urls)),
        );
        let mut urls = advertised.told()?;
        urls.sort();
        let cluster = self.pick(
            "initial-cluster",
            |options| options.initial_cluster.clone(),
            || urls.iter().map(|url| format!("{}={url}", name.value)).collect::<Vec<_>>().join(","),
        );
        let token = |options: &ServeOptions| options.initial_cluster_token.clone();
        let token = self.pick("initial-cluster-token", token, || "synod-cluster".into());
        let founding = Founding::parse(&token.value, &cluster.value).map_err(|error| match error {
            ClusterError::Token(_) => token.wrong(error),
            error => cluster.wrong(error),
        })?;
        let Some(own) = founder(&founding) else {
            let names: Vec<&str> = founding.founders().iter().map(|founder| founder.name.as_str()).collect();
            return Err(name.wrong(format!(
                "no member is called \"{}\": initial-cluster lists {}",
                name.value,
                names.join(", ")
            )));
        };
        let all = founding.founders().iter().flat_map(|founder| &founder.peer_urls);
        if let Some(wildcard) = all.clone().find(|url| url.is_wildcard()) {
            return Err(
                cluster.wrong(format!("{wildcard} is no address at which the other members reach a member"))
            );
        }
        if own.peer_urls != urls {
            return Err(advertised.wrong(format!(
                "initial-cluster says that this member is reached at {}, not at {}",
                join(&own.peer_urls),
                join(&urls)
            )));
        }
        Ok(founding)
    }

    /// Whether this member may decide the founding.
    fn founds(&mut self) -> Result<bool, ConfigError> {
        let state = |options: &ServeOptions| options.initial_cluster_state.clone();
        let state = self.pick("initial-cluster-state", state, || "new".into());
        match state.value.as_str() {
            "new" => Ok(true),
            "existing" => Ok(false),
            other => Err(state.wrong(format!("\"{other}\" is neither \"new\" nor \"existing\""))),
        }
    }

    /// Heartbeat interval and election timeout.
    fn timing(&mut self) -> Result<(Duration, Duration), ConfigError> {
        let heartbeat = self.pick("heartbeat-interval", |options| options.heartbeat_interval, || 100);
        let election = self.pick("election-timeout", |options| options.election_timeout, || 500);
        if heartbeat.value == 0 {
            return Err(heartbeat.wrong("it must be at least 1 ms"));
        }
        if election.value < heartbeat.value.saturating_mul(5) {
            let least = "it must be at least five times heartbeat-interval, which is";
            return Err(election.wrong(format!("{} ms: {least} {} ms", election.value, heartbeat.value)));
        }
        let duration = |picked: &Picked<u32>| Duration::from_millis(picked.value.into());
        Ok((duration(&heartbeat), duration(&election)))
    }

    fn limits(&mut self) -> Result<Limits, ConfigError> {
        let limits = Limits::default();
        let (request, txn) = (limits.max_request_bytes as u32, limits.max_txn_ops as u32);
        let request = self.pick("max-request-bytes", |options| options.max_request_bytes, || request);
        if request.value > MAX_REQUEST_BYTES_MAX {
            return Err(request.wrong(format!("it may be at most {MAX_REQUEST_BYTES_MAX}")));
        }
        let txn = self.pick("max-txn-ops", |options| options.max_txn_ops, || txn);
        let default = limits.max_connections as u32;
        let connections = self.pick("max-connections", |options| options.max_connections, || default);
        if connections.value == 0 {
            return Err(connections.wrong("there must be at least one"));
        }
        Ok(Limits {
            max_request_bytes: request.value as usize,
            max_txn_ops: txn.value as usize,
            max_connections: connections.value as usize,
            ..limits
        })
    }

    fn log(&mut self) -> Result<(String, LogFormat), ConfigError> {
        let level = self.pick("log-level", |options| options.log_level.clone(), || "info".into());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level.value) {
            return Err(level.wrong(error));
        }
        let format = self.pick("log-format", |options| options.log_format, || LogFormat::Text);
        Ok((level.value, format.value))
    }
}

/// A slot of the log takes no more.
const MAX_REQUEST_BYTES_MAX: u32 = 32 * 1024 * 1024;

impl From<LogFormat> for toml::Value {
    fn from(format: LogFormat) -> toml::Value {
        toml::Value::from(match format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

fn read_file(path: &Path) -> Result<ServeOptions, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|source| ConfigError::Invalid { path: path.to_owned(), source: Box::new(source) })
}

fn join(urls: &[Url]) -> String {
    urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl ServeConfig {
    /// Settles every value. `matches` tells flags from variables.
    ///
    /// # Errors
    /// If the file cannot be read, or a value cannot be used: which one, and who said so.
    pub fn resolve(given: ServeOptions, matches: &ArgMatches) -> Result<ServeConfig, ConfigError> {
        let file = given.config_file.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let print = given.print_config;
        let mut layers = Layers { given, file, matches, printed: String::new() };
        let l = &mut layers;
        let name = l.pick("name", |options| options.name.clone(), || "default".into());
        let directory = || format!("{}.synod", name.value);
        let data_dir = l.pick("data-dir", |options| options.data_dir.clone(), directory);
        let clients = |options: &ServeOptions| options.listen_client_urls.clone();
        let clients = l.pick("listen-client-urls", clients, || "http://localhost:2379".into());
        let listen_client_urls = clients.urls()?;
        let advertised = |options: &ServeOptions| options.advertise_client_urls.clone();
        let advertised = l.pick("advertise-client-urls", advertised, || clients.value.clone());
        let peers = |options: &ServeOptions| options.listen_peer_urls.clone();
        let peers = l.pick("listen-peer-urls", peers, || "http://localhost:2380".into());
        let listen_peer_urls = peers.urls()?;
        let founding = l.founding(&name, &listen_peer_urls)?;
        let founds = l.founds()?;
        let (heartbeat_interval, election_timeout) = l.timing()?;
        let limits = l.limits()?;
        let checkpoint = l.pick(
            "checkpoint-bytes",
            |options| options.checkpoint_bytes,
            || u32::try_from(CHECKPOINT_BYTES).expect("the default is 64 MiB"),
        );
        let (log_level, log_format) = l.log()?;
        Ok(ServeConfig {
            advertise_client_urls: advertised.told()?,
            name: name.value,
            data_dir: data_dir.value.into(),
            listen_client_urls,
            listen_peer_urls,
            founding,
            founds,
            heartbeat_interval,
            election_timeout,
            checkpoint_bytes: checkpoint.value.into(),
            limits,
            log_level,
            log_format,
            printed: print.then_some(layers.printed),
        })
    }
}
