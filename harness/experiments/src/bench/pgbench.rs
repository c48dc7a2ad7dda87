//! The ceiling: pgbench, with the statement of the strategy `conditional`, on the same server.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use slotproof_target_service::strategies::conditional::STATEMENT;
use tokio::process::Command;

/// Bookings per second, by so many connections, spread at random over the slots whose last digits
/// are 1 to `slots`.
///
/// # Errors
/// pgbench is not beside the server's programs, or a statement fails.
pub async fn bookings_per_second(
    pgbench: &Path,
    postgres_url: &str,
    script: &Path,
    connections: u32,
    duration: Duration,
) -> Result<f64> {
    let output = Command::new(pgbench)
        .args(["--no-vacuum", "--protocol=prepared", "--file"])
        .arg(script)
        .args(["--client", &connections.to_string(), "--jobs", "2"])
        .args(["--time", &duration.as_secs().max(1).to_string()])
        .arg(postgres_url)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("start {}", pgbench.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let tps =
        said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    match tps {
        Some(tps) if output.status.success() => Ok(tps),
        _ => bail!("pgbench failed: {said}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The statement with pgbench's variables in place of its parameters.
pub fn script(slot_prefix: &str, month: &str, doctor: u32, slots: usize) -> String {
    let booking_prefix = slot_prefix.replacen("-81", "-82", 1);
    // SQLx's hints about columns are no SQL names that anybody needs.
    let statement = STATEMENT
        .replace("\"slot_version!\"", "slot_version")
        .replace("\"available_seats!\"", "available_seats")
        .replace("\"expires_at!\"", "expires_at")
        .replace("$1", &doctor.to_string())
        .replace("$2", &format!("date '{month}'"))
        .replace("$3", &format!("('{slot_prefix}' || lpad(to_hex(:slot::bigint), 12, '0'))::uuid"))
        .replace("$4", "1")
        .replace(
            "$5",
            &format!("('{booking_prefix}' || lpad(to_hex(:booking::bigint), 12, '0'))::uuid"),
        )
        .replace("$6", ":booking::bigint::text")
        .replace("$7", "300000");
    let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    format!(
        "\\set slot random(1, {slots})\n\\set booking random(1, 250000000000000)\n{statement};\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_the_statement_of_the_page_without_parameters() {
        let script = script("00000001-0142-8100-8000-", "2026-12-01", 1, 10);
        assert!(
            script.contains("update appointment_slots")
                && script.contains("insert into booking_audit")
        );
        assert!(
            !script.contains('$')
                && !script.contains('!')
                && script.contains("00000001-0142-8200-8000-")
        );
    }
}
