//! TLS and logins.

use eson_broker::{
    Broker, BrokerError, KafkaBroker, KafkaConfig, KafkaSasl, KafkaTls, SaslMechanism, Secret,
};
use eson_tests::kafka::ADMIN;

use crate::support::{config, kafka};

fn login(mechanism: SaslMechanism, password: &str) -> KafkaSasl {
    KafkaSasl {
        mechanism,
        username: ADMIN.0.to_owned(),
        password: Secret::new(password.to_owned()),
    }
}

fn trusted() -> KafkaTls {
    KafkaTls {
        ca_file: Some(kafka().ca_file()),
        server_name: None,
    }
}

async fn check(config: KafkaConfig) -> Result<(), BrokerError> {
    KafkaBroker::new(config)?.check().await
}

#[tokio::test]
async fn tls_with_a_known_authority() {
    let config = config(&kafka().tls()).with_tls(trusted());
    check(config).await.expect("there");
}

#[tokio::test]
async fn a_login_inside_tls() {
    let config = config(&kafka().sasl_tls())
        .with_tls(trusted())
        .with_sasl(login(SaslMechanism::ScramSha256, ADMIN.1));
    check(config).await.expect("there");
}

#[tokio::test]
async fn an_unknown_authority_is_not_believed() {
    let config = config(&kafka().tls()).with_tls(KafkaTls::default());
    let refused = check(config).await.expect_err("unknown");
    assert!(refused.to_string().contains("TLS"), "{refused}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_believed() {
    let tls = KafkaTls {
        server_name: Some("kafka.blue.example".to_owned()),
        ..trusted()
    };
    let refused = check(config(&kafka().tls()).with_tls(tls)).await;
    let refused = refused.expect_err("another name");
    assert!(refused.to_string().contains("TLS"), "{refused}");
}

#[tokio::test]
async fn a_missing_authority_is_named() {
    let tls = KafkaTls {
        ca_file: Some("no-such-file.pem".into()),
        server_name: None,
    };
    let refused = check(config(&kafka().tls()).with_tls(tls)).await;
    let refused = refused.expect_err("no file");
    assert!(
        refused.to_string().contains("no-such-file.pem"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let login = login(SaslMechanism::ScramSha256, "another secret");
    let refused = check(config(&kafka().sasl()).with_sasl(login)).await;
    let refused = refused.expect_err("wrong");
    let told = matches!(&refused, BrokerError::Unauthenticated { user, .. } if user == ADMIN.0);
    assert!(told, "{refused:?}");
    assert!(!format!("{refused:?}").contains("another secret"));
}

#[tokio::test]
async fn a_mechanism_that_is_not_offered_is_told() {
    let login = login(SaslMechanism::Plain, ADMIN.1);
    let refused = check(config(&kafka().sasl()).with_sasl(login)).await;
    let refused = refused.expect_err("not offered");
    assert!(
        matches!(refused, BrokerError::Unauthenticated { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("SCRAM-SHA-256"), "{refused}");
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let port = eson_tests::ports::free_port();
    let refused = check(config(&format!("127.0.0.1:{port}"))).await;
    let refused = refused.expect_err("nobody");
    assert!(refused.is_transient(), "{refused:?}");
}
