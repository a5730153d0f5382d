"""The Lightning recorder on tiny trainings, with both packages that Lightning comes in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .test_keras import values_in

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")


def module_of(home, logs: bool = True):
    class Net(home.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 3))

        def training_step(self, batch, _):
            loss = torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            if logs:
                self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, _):
            out = self.net(batch[0])
            if logs:
                self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())
            return torch.nn.functional.cross_entropy(out, batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    torch.manual_seed(0)
    return Net()


def fit(home, folder: Path, callbacks, **options):
    net = module_of(home)
    torch.manual_seed(1)
    data = torch.utils.data.TensorDataset(torch.randn(32, 4), torch.randint(0, 3, (32,)))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "accelerator": "cpu",
    }
    trainer = home.Trainer(
        max_epochs=2,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_model_summary=False,
        **quiet,
        **options,
    )
    trainer.fit(net, loader, loader)
    return net


def test_a_training_is_recorded_and_its_weights_are_alike_to_the_bit(tmp_path: Path) -> None:
    from plateau_doctor.recorders.lightning import Recorder

    options = {"accumulate_grad_batches": 2, "gradient_clip_val": 0.01}
    recorded = fit(lightning, tmp_path, [Recorder(tmp_path / "run", every=4)], **options)
    bare = fit(lightning, tmp_path, [], **options)
    assert all(torch.equal(a, b) for a, b in zip(recorded.parameters(), bare.parameters(), strict=True))
    assert not [h for m in recorded.modules() for h in m._forward_hooks]
    found = values_in(tmp_path / "run")
    assert list(found["train/loss"]) == [4, 8]
    assert found["epoch"] == {4: 1.0, 8: 2.0}
    assert {"validation/loss", "validation/acc", "gradients/00_net.0/weight", "activations/00_net.1"} <= set(
        found
    )
    assert found["train/loss"][4] == pytest.approx(1.1, abs=0.4)  # of a batch, not of half a step
    assert max(found["gradient_norm"].values()) == pytest.approx(0.01, rel=1e-3)  # after clipping


def test_the_other_package_of_lightning_takes_it_too(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    code = f"""
from pathlib import Path
import pytorch_lightning
from tests.recorders.test_lightning import fit
from plateau_doctor.recorders.lightning import Recorder
assert issubclass(Recorder, pytorch_lightning.Callback)
fit(pytorch_lightning, Path({str(tmp_path)!r}), [Recorder({str(tmp_path / "run")!r})])
"""
    root = Path(__file__).parent.parent.parent
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True)
    assert {"train/loss", "validation/loss"} <= set(values_in(tmp_path / "run"))


@pytest.mark.parametrize("name", ["lightning", "huggingface", "torch"])
def test_importing_a_recorder_imports_no_framework(name: str) -> None:
    heavy = "{'torch', 'lightning', 'pytorch_lightning', 'transformers'}"
    code = f"import plateau_doctor.recorders.{name}, sys; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
