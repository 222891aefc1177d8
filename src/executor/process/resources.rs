//! Tells child processes what they may use of their host: devices, cores, memory.

use std::ffi::OsString;

use crate::executor::Slot;
use crate::executor::granted::{CORES, GPUS, Granted};
use crate::model::{CUDA, CUDA_ORDER, HIP, LEVEL_ZERO, ORDINAL, ROCR, Vendor};
use crate::platform::slurm;

/// By PCI addresses, all processes of a host count devices alike.
const BY_ADDRESS: &str = "PCI_BUS_ID";

/// The variables by which libraries know how many threads to start. The first is OpenMP's, which the others heed where
/// their own is not set.
const THREADS: [&str; 4] =
    ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"];

/// Sets the variables of a child at this place.
pub(super) fn tell(variables: &mut Vec<(OsString, OsString)>, place: Slot) {
    let has_cores = place.granted.is_some_and(|granted| granted.has_cores);
    // What the user has set stays, and what follows from it.
    let is_set = |name: &str| std::env::var_os(name).is_some();
    let is_users = |name: &str| !has_cores && (is_set(name) || is_set(THREADS[0]));
    for name in THREADS.into_iter().filter(|name| !is_users(name)) {
        set(variables, name, place.cores.to_string());
    }
    let memory = place.granted.and_then(|granted| granted.memory).map(|bytes| bytes >> 20);
    if let Some(memory) = memory.or_else(|| slurm::memory(place.cores)) {
        set(variables, "GRIDMPI_MEMORY", memory.to_string());
    }
    if let Some(granted) = place.granted {
        set(variables, CORES, place.cores.to_string());
        tell_devices(variables, granted);
    }
}

/// Children get the variable of the vendor alone: the others would count within it, or name other devices.
fn tell_devices(variables: &mut Vec<(OsString, OsString)>, granted: &Granted) {
    let Some(vendor) = granted.vendor else { return };
    let of_vendors = [CUDA, HIP, ROCR, LEVEL_ZERO, ORDINAL];
    variables.retain(|(name, _)| of_vendors.iter().all(|known| name != known));
    let names = granted.devices.join(",");
    let variable = match vendor {
        Vendor::Nvidia => CUDA,
        Vendor::Amd => ROCR,
        Vendor::Intel => LEVEL_ZERO,
    };
    let is_index = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    if vendor == Vendor::Nvidia && granted.devices.iter().any(is_index) {
        set(variables, CUDA_ORDER, BY_ADDRESS.to_string());
    }
    set(variables, variable, names.clone());
    set(variables, GPUS, names);
}

fn set(variables: &mut Vec<(OsString, OsString)>, name: &str, value: String) {
    variables.retain(|(known, _)| known != name);
    variables.push((name.into(), value.into()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(vendor: Vendor, devices: &[&str]) -> Vec<(String, String)> {
        let devices = devices.iter().map(ToString::to_string).collect();
        let granted = Granted { devices, vendor: Some(vendor), ..Granted::default() };
        let inherited = [(CUDA, "0"), (HIP, "0"), (ROCR, "0,1"), (LEVEL_ZERO, "0"), ("HOME", "/")];
        let mut variables: Vec<(OsString, OsString)> =
            inherited.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        tell_devices(&mut variables, &granted);
        let text = |text: OsString| text.into_string().unwrap();
        variables.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn children_get_the_variable_of_one_vendor() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        assert_eq!(
            told(Vendor::Nvidia, &["GPU-a", "MIG-b"]),
            pairs(&[("HOME", "/"), (CUDA, "GPU-a,MIG-b"), (GPUS, "GPU-a,MIG-b")])
        );
        assert_eq!(
            told(Vendor::Nvidia, &["3"]),
            pairs(&[("HOME", "/"), (CUDA_ORDER, BY_ADDRESS), (CUDA, "3"), (GPUS, "3")])
        );
        assert_eq!(told(Vendor::Amd, &["3"]), pairs(&[("HOME", "/"), (ROCR, "3"), (GPUS, "3")]));
        assert_eq!(
            told(Vendor::Intel, &["0.1"]),
            pairs(&[("HOME", "/"), (LEVEL_ZERO, "0.1"), (GPUS, "0.1")])
        );
    }
}
