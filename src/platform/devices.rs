//! The devices that this process sees: by the variables of their vendors, by Slurm's, else by NVIDIA's driver.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use crate::model::{CUDA, Device, HIP, LEVEL_ZERO, ROCR, Vendor};
use crate::platform::slurm::ask;

/// Slurm's, with the numbers that devices have on their node, of a step and of a job.
const SLURM: [&str; 2] = ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"];

/// NVIDIA's driver lists its devices here, in folders named by PCI address.
const NVIDIA: &str = "/proc/driver/nvidia/gpus";

/// The devices of this process, and where they are known from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VisibleDevices {
    pub(crate) devices: Vec<Device>,
    pub(crate) vendor: Vendor,
    pub(crate) source: String,
}

/// A device that NVIDIA's driver knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DriverDevice {
    uuid: String,
    /// The number of its device file, by which Slurm counts.
    minor: Option<u32>,
}

/// What the system knows of devices; tests have their own.
trait System {
    fn variable(&self, name: &str) -> Option<String>;
    /// NVIDIA's devices that this process may open, in the order of their PCI addresses.
    fn nvidia(&self) -> Vec<DriverDevice>;
    fn has(&self, vendor: Vendor) -> bool;
}

pub(crate) fn visible() -> VisibleDevices {
    visible_by(&ThisSystem)
}

fn visible_by(system: &impl System) -> VisibleDevices {
    let said = |name: &'static str| system.variable(name).map(|value| (name, value));
    let amd = said(ROCR).or_else(|| said(HIP));
    let named = [
        (Vendor::Nvidia, said(CUDA)),
        (Vendor::Amd, amd.or_else(|| said(CUDA).filter(|_| system.has(Vendor::Amd)))),
        (Vendor::Intel, said(LEVEL_ZERO)),
    ];
    let named: Vec<_> =
        named.into_iter().filter_map(|(vendor, said)| Some((vendor, said?))).collect();
    // Slurm sets the variables of all vendors if it is not told whose devices they are.
    let found = named.iter().find(|(vendor, _)| system.has(*vendor)).or_else(|| named.first());
    if let Some((vendor, (name, value))) = found {
        let devices = match vendor {
            Vendor::Nvidia => nvidia_devices(value, &system.nvidia()),
            Vendor::Amd => amd_devices(value, system.variable(HIP).filter(|_| *name == ROCR)),
            Vendor::Intel => as_named(value),
        };
        let source = match value.is_empty() {
            true => format!("{name} is empty"),
            false => format!("{name}={value}"),
        };
        return VisibleDevices { devices: distinct(devices), vendor: *vendor, source };
    }
    let known = system.nvidia();
    if let Some((name, value)) = SLURM.into_iter().find_map(said) {
        let by_minor = |number: u32| known.iter().find(|device| device.minor == Some(number));
        let device = |number: u32| match by_minor(number) {
            Some(device) => by_uuid(&device.uuid),
            None => by_index(number),
        };
        let devices = numbers(&value).into_iter().map(device).collect();
        let source = format!("{name}={value}");
        return VisibleDevices { devices: distinct(devices), vendor: Vendor::Nvidia, source };
    }
    let devices: Vec<Device> = known.iter().map(|device| by_uuid(&device.uuid)).collect();
    let source = match devices.is_empty() {
        true => format!("no variable such as {CUDA} and no NVIDIA driver names one"),
        false => "NVIDIA's driver".to_string(),
    };
    VisibleDevices { devices, vendor: Vendor::Nvidia, source }
}

fn by_uuid(uuid: &str) -> Device {
    Device { id: uuid.to_string(), name: uuid.to_string() }
}

fn by_index(index: u32) -> Device {
    Device { id: format!("index {index}"), name: index.to_string() }
}

/// The devices that a value of `CUDA_VISIBLE_DEVICES` names. As CUDA has it, the first name that is none ends the list.
fn nvidia_devices(value: &str, known: &[DriverDevice]) -> Vec<Device> {
    let device = |word: &str| match word.parse::<u32>() {
        Ok(index) if known.is_empty() => Some(by_index(index)),
        Ok(index) => known.get(index as usize).map(|device| by_uuid(&device.uuid)),
        Err(_) if word.starts_with("GPU-") => {
            // The beginning of a UUID will do if it is that of one device.
            let mut like = known.iter().filter(|device| device.uuid.starts_with(word));
            let whole = like.next().filter(|_| like.next().is_none());
            Some(by_uuid(whole.map_or(word, |device| &device.uuid)))
        }
        Err(_) => word.starts_with("MIG-").then(|| by_uuid(word)),
    };
    value.split(',').map(str::trim).map_while(device).collect()
}

/// The devices that `ROCR_VISIBLE_DEVICES` names, and of these the ones that `HIP_VISIBLE_DEVICES` counts.
fn amd_devices(value: &str, within: Option<String>) -> Vec<Device> {
    let all = as_named(value);
    let Some(within) = within else { return all };
    let device = |word: &str| all.get(word.trim().parse::<usize>().ok()?).cloned();
    within.split(',').map_while(device).collect()
}

/// Devices whose names are passed on as they are.
fn as_named(value: &str) -> Vec<Device> {
    let words =
        value.split(',').map(str::trim).take_while(|word| !word.is_empty() && *word != "-1");
    let device = |word: &str| match word.parse::<u32>() {
        Ok(index) => by_index(index),
        Err(_) => by_uuid(word),
    };
    words.map(device).collect()
}

fn distinct(devices: Vec<Device>) -> Vec<Device> {
    let mut known = BTreeSet::new();
    devices.into_iter().filter(|device| known.insert(device.id.clone())).collect()
}

/// Slurm's list of numbers: `0,2-3`.
fn numbers(list: &str) -> Vec<u32> {
    let range = |word: &str| {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        Some(from.trim().parse().ok()?..=to.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

struct ThisSystem;

impl System for ThisSystem {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn nvidia(&self) -> Vec<DriverDevice> {
        let devices = of_driver(Path::new(NVIDIA), Path::new("/dev"));
        // A device that is split has instances, which only nvidia-smi names.
        let is_split = (0..devices.len()).any(has_instances);
        match devices.is_empty() || is_split {
            true => ask("nvidia-smi", &["-L"]).map_or(devices, |said| by_nvidia_smi(&said)),
            false => devices,
        }
    }

    fn has(&self, vendor: Vendor) -> bool {
        match vendor {
            Vendor::Nvidia => Path::new("/proc/driver/nvidia").exists(),
            Vendor::Amd => Path::new("/dev/kfd").exists(),
            Vendor::Intel => {
                let known = ["/sys/module/xe", "/sys/module/i915"];
                known.iter().any(|driver| Path::new(driver).exists())
            }
        }
    }
}

/// Whether a device is split into instances (MIG).
fn has_instances(gpu: usize) -> bool {
    let folder = format!("/proc/driver/nvidia/capabilities/gpu{gpu}/mig");
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("gi"))
}

/// The devices that NVIDIA's driver lists. Those whose device file may not be opened are other jobs'.
fn of_driver(list: &Path, device_files: &Path) -> Vec<DriverDevice> {
    let Ok(entries) = std::fs::read_dir(list) else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let device = |folder: &std::path::PathBuf| {
        let text = std::fs::read_to_string(folder.join("information")).ok()?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim_start_matches([':', ' ', '\t']).trim().to_string())
        };
        let (uuid, minor) = (value("GPU UUID")?, value("Device Minor"));
        let minor = minor.and_then(|minor| minor.parse::<u32>().ok());
        let file = minor.map(|minor| device_files.join(format!("nvidia{minor}")));
        let is_ours = file.is_none_or(|file| File::open(file).is_ok());
        (is_ours && uuid.starts_with("GPU-")).then_some(DriverDevice { uuid, minor })
    };
    folders.iter().filter_map(device).collect()
}

/// The devices that `nvidia-smi -L` lists; instances instead of the devices that are split into them.
fn by_nvidia_smi(said: &str) -> Vec<DriverDevice> {
    let mut devices: Vec<DriverDevice> = Vec::new();
    for line in said.lines() {
        let Some((_, rest)) = line.split_once("(UUID: ") else { continue };
        let uuid = rest.trim_end().trim_end_matches(')').to_string();
        if uuid.starts_with("MIG-")
            && devices.last().is_some_and(|last| last.uuid.starts_with("GPU-"))
        {
            devices.pop();
        }
        devices.push(DriverDevice { uuid, minor: None });
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Declared<'a> {
        variables: &'a [(&'a str, &'a str)],
        nvidia: &'a [&'a str],
        drivers: &'a [Vendor],
    }

    impl System for Declared<'_> {
        fn variable(&self, name: &str) -> Option<String> {
            let known = self.variables.iter().find(|(known, _)| *known == name);
            known.map(|(_, value)| value.to_string())
        }

        fn nvidia(&self) -> Vec<DriverDevice> {
            let device = |(minor, uuid): (usize, &&str)| DriverDevice {
                uuid: uuid.to_string(),
                minor: Some(7 - minor as u32),
            };
            self.nvidia.iter().enumerate().map(device).collect()
        }

        fn has(&self, vendor: Vendor) -> bool {
            self.drivers.contains(&vendor)
        }
    }

    fn names(system: &Declared) -> (Vendor, Vec<String>) {
        let found = visible_by(system);
        (found.vendor, found.devices.into_iter().map(|device| device.name).collect())
    }

    fn by(variables: &[(&str, &str)]) -> (Vendor, Vec<String>) {
        names(&Declared { variables, ..Declared::default() })
    }

    fn these(vendor: Vendor, names: &[&str]) -> (Vendor, Vec<String>) {
        (vendor, names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_variable_of_a_vendor_names_devices() {
        use Vendor::{Amd, Intel, Nvidia};
        assert_eq!(by(&[]), these(Nvidia, &[]));
        assert_eq!(by(&[(CUDA, "")]), these(Nvidia, &[]));
        assert_eq!(by(&[(CUDA, "NoDevFiles")]), these(Nvidia, &[]));
        assert_eq!(by(&[(CUDA, "2, 0,2,-1,3")]), these(Nvidia, &["2", "0"]));
        let mixed = "GPU-ab,MIG-cd,0";
        assert_eq!(by(&[(CUDA, mixed)]), these(Nvidia, &["GPU-ab", "MIG-cd", "0"]));
        assert_eq!(by(&[(ROCR, "4,5,6"), (HIP, "2,0")]), these(Amd, &["6", "4"]));
        assert_eq!(by(&[(HIP, "2,0")]), these(Amd, &["2", "0"]));
        assert_eq!(by(&[(LEVEL_ZERO, "0.1,1.0")]), these(Intel, &["0.1", "1.0"]));
        assert_eq!(by(&[("SLURM_JOB_GPUS", "0,2-3")]), these(Nvidia, &["0", "2", "3"]));
    }

    #[test]
    fn slurm_sets_the_variables_of_all_vendors() {
        let variables = &[(CUDA, "0"), (ROCR, "0"), (LEVEL_ZERO, "0")];
        let of = |drivers| names(&Declared { variables, drivers, ..Declared::default() }).0;
        assert_eq!(of(&[]), Vendor::Nvidia);
        assert_eq!(of(&[Vendor::Amd]), Vendor::Amd);
        assert_eq!(of(&[Vendor::Intel]), Vendor::Intel);
    }

    #[test]
    fn the_driver_gives_names_that_all_processes_know() {
        let nvidia = &["GPU-aa11", "GPU-ab22", "GPU-cc33"][..];
        let of = |variables| names(&Declared { variables, nvidia, ..Declared::default() }).1;
        assert_eq!(of(&[]), nvidia);
        assert_eq!(of(&[(CUDA, "2,0")]), ["GPU-cc33", "GPU-aa11"]);
        assert_eq!(of(&[(CUDA, "1,7,0")]), ["GPU-ab22"], "there is no device 7");
        assert_eq!(of(&[(CUDA, "GPU-ab")]), ["GPU-ab22"]);
        assert_eq!(of(&[(CUDA, "GPU-a")]), ["GPU-a"], "two begin so");
        assert_eq!(of(&[("SLURM_STEP_GPUS", "6")]), ["GPU-ab22"], "by the number of its file");
    }

    #[test]
    fn the_driver_lists_devices() {
        let folder = tempfile::tempdir().unwrap();
        let (list, files) = (folder.path().join("gpus"), folder.path().join("dev"));
        std::fs::create_dir_all(&files).unwrap();
        for (address, uuid, minor) in [
            ("0000:3b:00.0", "GPU-1", 0),
            ("0000:d8:00.0", "GPU-3", 2),
            ("0000:5e:00.0", "GPU-2", 1),
        ] {
            std::fs::create_dir_all(list.join(address)).unwrap();
            let text = format!(
                "Model: \t\t NVIDIA H200\nIRQ:   \t\t 18\nGPU UUID: \t {uuid}\nBus Location: \t {address}\nDevice Minor: \t {minor}\n"
            );
            std::fs::write(list.join(address).join("information"), text).unwrap();
            if minor != 1 {
                std::fs::write(files.join(format!("nvidia{minor}")), "").unwrap();
            }
        }
        let found = of_driver(&list, &files);
        let uuids: Vec<&str> = found.iter().map(|device| device.uuid.as_str()).collect();
        assert_eq!(uuids, ["GPU-1", "GPU-3"], "the file of the other cannot be opened");
        assert_eq!(found[1].minor, Some(2));
    }

    #[test]
    fn instances_stand_for_the_device_that_is_split() {
        let said = "GPU 0: NVIDIA A100 (UUID: GPU-a)\n  MIG 3g.20gb Device 0: (UUID: MIG-b)\n  MIG 3g.20gb Device 1: (UUID: MIG-c)\nGPU 1: NVIDIA A100 (UUID: GPU-d)\n";
        let uuids: Vec<String> = by_nvidia_smi(said).into_iter().map(|d| d.uuid).collect();
        assert_eq!(uuids, ["MIG-b", "MIG-c", "GPU-d"]);
    }
}
