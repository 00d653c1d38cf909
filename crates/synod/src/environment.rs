//! `SYNOD_*` variables: an empty one is as good as unset, and one that nothing reads is named.
//!
//! A unit file with `SYNOD_DATA_DIR=` means "no value", not "a directory without a name". A variable with a slip in its name
//! would otherwise be ignored, and the data be elsewhere.

use std::collections::BTreeSet;
use std::env;

use clap::Command;

const PREFIX: &str = "SYNOD_";
/// As similar as a slip of the hand leaves two names.
const SIMILAR: f64 = 0.85;

/// The command and all below it, without the variables that are empty.
pub(crate) fn without_empty(command: Command) -> Command {
    let is_empty = |name: &std::ffi::OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(None::<&'static str>),
            false => arg,
        })
        .mut_subcommands(without_empty)
}

/// A warning for each variable that is set and that no flag of `command` reads.
pub(crate) fn unknown(command: &Command) -> Vec<String> {
    let mut known = BTreeSet::new();
    collect(command, &mut known);
    let set = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let set = set.filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty());
    set.filter_map(|(name, value)| warning(&name, &value.to_string_lossy(), &known)).collect()
}

fn collect(command: &Command, known: &mut BTreeSet<String>) {
    known.extend(command.get_arguments().filter_map(|arg| arg.get_env()?.to_str().map(str::to_owned)));
    command.get_subcommands().for_each(|command| collect(command, known));
}

/// Kubernetes sets such variables for a service that is called `synod`.
fn is_of_kubernetes(name: &str, value: &str) -> bool {
    value.starts_with("tcp://") || name.contains("_SERVICE_") || name.contains("_PORT_")
}

fn warning(name: &str, value: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(name) || is_of_kubernetes(name, value) {
        return None;
    }
    let own = |name: &str| name.trim_start_matches(PREFIX).to_owned();
    let nearest = known.iter().map(|known| (strsim::jaro_winkler(&own(name), &own(known)), known));
    let nearest = nearest.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(alike, _)| *alike >= SIMILAR);
    let meant = nearest.map(|(_, known)| format!("; is {known} meant?"));
    Some(format!("warning: the variable {name} is set, and nothing reads it{}", meant.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["SYNOD_DATA_DIR", "SYNOD_NAME", "SYNOD_ENDPOINTS"].map(str::to_owned).into()
    }

    #[test]
    fn a_variable_that_nothing_reads_is_named_with_the_nearest_one() {
        assert_eq!(warning("SYNOD_DATA_DIR", "/x", &known()), None);
        let warned = warning("SYNOD_DATADIR", "/x", &known()).unwrap();
        assert!(
            warned.ends_with("SYNOD_DATADIR is set, and nothing reads it; is SYNOD_DATA_DIR meant?"),
            "{warned}"
        );
        let warned = warning("SYNOD_QUORUM", "2", &known()).unwrap();
        assert!(warned.ends_with("SYNOD_QUORUM is set, and nothing reads it"), "{warned}");
    }

    #[test]
    fn variables_that_kubernetes_sets_for_a_service_are_no_slip() {
        for (name, value) in [
            ("SYNOD_SERVICE_HOST", "10.0.0.1"),
            ("SYNOD_PORT", "tcp://10.0.0.1:2379"),
            ("SYNOD_PORT_2379_TCP_PROTO", "tcp"),
        ] {
            assert_eq!(warning(name, value, &known()), None, "{name}");
        }
    }
}
