//! The command line takes what it should, and nothing else.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn a_revocation_has_exactly_one_target_and_a_reason() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("monitorctl revoke --engineer alice --reason x").is_ok());
    assert!(parse("monitorctl revoke --reason x").is_err());
    assert!(parse("monitorctl revoke --engineer alice").is_err());
    assert!(parse("monitorctl revoke --engineer alice --serial 7 --reason x").is_err());
    assert!(parse("monitorctl revoke --serial 7 --reason x --timeout soon").is_err());
}

#[test]
fn containing_is_an_order_against_one_session_and_freezes_unless_told_otherwise() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    let cli = parse("monitorctl contain --session S2A1B0 --reason x --yes").unwrap();
    let Command::Contain(contain) = cli.command else {
        panic!("another command")
    };
    let revoke = Revoke::from(&contain);
    assert_eq!(revoke.mode, monitor_model::revocation::Mode::Freeze);
    assert_eq!(revoke.session.as_deref(), Some("S2A1B0"));
    assert!(revoke.yes && !revoke.dry_run && revoke.engineer.is_none());
    assert!(parse("monitorctl contain --session S --mode release --reason x").is_err());
    assert!(parse("monitorctl contain --session S").is_err());
    assert!(parse("monitorctl release --reason x").is_err());
    assert!(parse("monitorctl release --session S --reason x --dry-run").is_ok());
}

#[test]
fn filters_take_the_names_of_the_model_only() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' '));
    assert!(parse("monitorctl tail --kind credential --kind gap --verdict out_of_scope").is_ok());
    let error = parse("monitorctl tail --kind open")
        .unwrap_err()
        .to_string();
    assert!(error.contains("credential"), "{error}");
}
