//! Addresses of brokers.

/// Whether every one of these brokers is this machine's own.
pub(super) fn is_loopback(brokers: &str) -> bool {
    brokers.split(',').all(|broker| {
        let broker = broker.trim().rsplit("://").next().unwrap_or_default();
        let host = broker.rsplit_once(':').map_or(broker, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn loopback_is_this_machine_only() {
        for (brokers, is_loopback) in [
            ("localhost:9092", true),
            ("LOCALHOST", true),
            ("127.0.0.1:9092,[::1]:9092", true),
            ("PLAINTEXT://127.1.2.3:9092", true),
            ("localhost:9092,kafka.example:9092", false),
            ("localhost.example:9092", false),
            ("0.0.0.0:9092", false),
            ("192.168.0.1:9092", false),
            ("", false),
        ] {
            assert_eq!(super::is_loopback(brokers), is_loopback, "{brokers}");
        }
    }
}
