//! Kubernetes' quantities as numbers of bytes.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes and what they stand for (Kubernetes API reference, "Quantity").
const UNITS: [(&str, f64); 12] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("m", 0.001),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The bytes a quantity stands for, rounded down; none when it is no quantity of bytes, or more than 2^63.
#[must_use]
pub(crate) fn bytes(quantity: &Quantity) -> Option<u64> {
    let text = quantity.0.as_str();
    let unit = UNITS.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (digits, factor) = unit.map_or((text, 1.0), |(suffix, factor)| (&text[..text.len() - suffix.len()], *factor));
    let number: f64 = digits.parse().ok()?;
    let bytes = number * factor;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was looked at")]
    (0.0..9.2e18).contains(&bytes).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let of = |text: &str| bytes(&Quantity(text.to_owned()));
        for (text, expected) in [("20Gi", 20 << 30), ("1.5Gi", 1_610_612_736), ("1G", 1_000_000_000), ("12e3", 12_000)]
        {
            assert_eq!(of(text), Some(expected), "{text}");
        }
        for text in ["", "Gi", "8G1", "-1Gi", "nan", "inf", "1e30"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
