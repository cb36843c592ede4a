//! Clients come in by every method over every transport, and so does pgLagoon at its servers.

use std::{fs, path::Path, process::Output};

use pglagoon::demo::{Authentication, Cluster, ClusterBuilder};

use crate::{
    fixture::{installation, on_each_version, psql, succeeded},
    login::Certificates,
    pooler::Pooler,
};

on_each_version!(
    every_method_lets_clients_in_over_every_transport,
    what_is_not_encrypted_is_refused
);

/// How servers and clients prove themselves; the same for both where there is such a thing.
const METHODS: [(Authentication, &str); 4] = [
    (Authentication::Scram, "scram-sha-256"),
    (Authentication::Md5, "md5"),
    (Authentication::Password, "password"),
    (Authentication::Trust, "scram-sha-256"),
];

/// A cluster and a pooler that both offer TLS.
struct House {
    certificates: Certificates,
    cluster: Cluster,
    pooler: Pooler,
}

impl House {
    async fn open(major: u16, servers: Authentication, keys: &[(&str, &str)]) -> Self {
        let certificates = Certificates::new();
        let builder = ClusterBuilder::new(installation(major)).authentication(servers).replicas(1);
        let builder = builder.tls(certificates.certificate(), certificates.key());
        let cluster = builder.start().await.unwrap();
        let directory = certificates.directory();
        let file = |name: &str, content: &str| {
            let path = directory.join(name);
            fs::write(&path, content).unwrap();
            format!("{:?}", path.display().to_string())
        };
        let certificate = file("door.crt", certificates.certificate());
        let key = file("door.key", certificates.key());
        let listen = format!("[\"127.0.0.1:0\", \"{}:6432\"]", directory.display());
        let all = [
            &[
                ("listen.address", listen.as_str()),
                ("tls.client.mode", "\"allow\""),
                ("tls.client.cert_file", &certificate),
                ("tls.client.key_file", &key),
                ("tls.server.mode", "\"require\""),
            ],
            keys,
        ];
        let pooler = Pooler::start(&cluster, &all.concat()).await;
        Self { certificates, cluster, pooler }
    }

    /// Has psql log in with these libpq parameters and ask for `current_user`.
    async fn visit(&self, password: &str, more: &str) -> Option<Output> {
        let target = format!(
            "port={} user=app dbname=app password={password} {more}",
            self.pooler.address().port()
        );
        psql(&target, &["-c", "SELECT current_user"]).await
    }

    fn directory(&self) -> &Path {
        self.certificates.directory()
    }
}

async fn every_method_lets_clients_in_over_every_transport(major: u16) {
    for (servers, clients) in METHODS {
        let method = format!("{clients:?}");
        let house = House::open(major, servers, &[("listen.auth_method", &method)]).await;
        let directory = house.directory().display().to_string();
        let binding = if clients == "scram-sha-256" { "channel_binding=require" } else { "" };
        let password = house.cluster.app_password();
        for transport in [
            "host=127.0.0.1 sslmode=disable".to_owned(),
            "host=127.0.0.1 sslmode=require".to_owned(),
            format!(
                "host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={directory}/ca.crt {binding}"
            ),
            format!("host={directory} port=6432"),
        ] {
            let Some(output) = house.visit(password, &transport).await else { return };
            assert_eq!(succeeded(&output), "app", "{servers:?} {transport}");
            let refused = house.visit("wrong", &transport).await.unwrap();
            let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(errors.contains("password authentication failed"), "{transport}: {errors}");
        }
        house.pooler.check();
    }
}

async fn what_is_not_encrypted_is_refused(major: u16) {
    let keys = [("tls.client.mode", "\"require\"")];
    let house = House::open(major, Authentication::Scram, &keys).await;
    let password = house.cluster.app_password();
    let plain = house.visit(password, "host=127.0.0.1 sslmode=disable").await;
    let Some(plain) = plain else { return };
    let errors = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(!plain.status.success() && errors.contains("SSL is required"), "{errors}");
    let encrypted = house.visit(password, "host=127.0.0.1 sslmode=require").await.unwrap();
    assert_eq!(succeeded(&encrypted), "app");
}
