"""Roles: what the names that people use stand for."""

import pytest

from plateau_doctor.roles import ROLES, _role_of, higher_is_better, rank_of, role_of, roles_of, same_metric

NAMES = {
    "train_loss": "loss train_loss train/box_loss total_loss train/loss train_loss_step train_loss_epoch main/loss trl "
    "cross_entropy Loss/train train/epoch_loss loss_box_reg batch_loss",
    "val_loss": "val_loss val/box_loss eval_loss test_loss validation/main/loss tel test/loss validation/epoch_loss "
    "valLoss Loss/validation evaluation_loss_vs_iterations",
    "train_metric": "acc accuracy train_acc train_accuracy main/accuracy train/epoch_accuracy",
    "val_metric": "val_acc val_accuracy metrics/mAP50(B) metrics/mAP_0.5 bbox/AP eval_f1 test_acc val_mIOU",
    "learning_rate": "learning_rate lr lr/pg0 lr/pg2 x/lr0 train/learning_rate lr-Adam epoch_learning_rate train_lr",
    "grad_norm": "grad_norm train/grad_norm gradient_norm grad_norm_total gnorm "
    "grads/total_norm grad/norm gradients/global_norm",
    "layer_grad_norm": "gradient_norm/00_conv2d/kernel gradients/conv1.weight grad_2.0_norm/fc1.weight",
    "layer_weight_norm": "weight_norm/00_conv2d/kernel",
    "layer_update_ratio": "update_ratio/00_conv2d/kernel",
    "class_metric": "validation/recall/3 val_iou_Animal bbox/AP-cat Recall/class_0 val_acc_class_3",
    "reward": "rollout/ep_rew_mean episode_reward Environment/Cumulative_Reward",
    "other": "train/policy_gradient_loss train/value_loss train/entropy_loss hp_metric data_time loss_scale g_loss "
    "nonfinite/gradient/00_conv2d",
    "epoch": "epoch",
}
NAMED = [(role, tag) for role, tags in NAMES.items() for tag in tags.split()]


@pytest.mark.parametrize(
    ("role", "tag"), [*NAMED, ("val_loss", "Valid Loss"), ("other", "Losses/Policy Loss")]
)
def test_a_name_seen_in_the_field_gets_its_role(role: str, tag: str) -> None:
    assert role_of(tag)[0] == role


def test_every_role_of_the_table_is_a_known_role() -> None:
    assert {role for role, _ in NAMED} <= set(ROLES)


def test_a_tag_map_overrules_the_table() -> None:
    assert role_of("loss", {"loss": "val_loss"}) == ("val_loss", "given by --tag-map")


def test_an_error_measure_is_a_loss_only_where_nothing_better_is() -> None:
    assert roles_of(["mse", "val_mse"])["val_mse"][0] == "val_loss"
    assert roles_of(["loss", "mse"])["mse"][0] == "train_metric"


@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        ("total_loss", "loss_cls"),
        ("train_loss_epoch", "train_loss_step"),
        ("val_loss", "test_loss"),
        ("loss", "loss_1"),
        ("epoch_loss", "evaluation_loss_vs_iterations"),
        ("val_accuracy", "val_precision"),
    ],
)
def test_the_total_the_mean_and_the_original_come_first(nearer: str, farther: str) -> None:
    assert rank_of(nearer) < rank_of(farther)


@pytest.mark.parametrize(("tag", "higher"), [("val_accuracy", True), ("val_rmse", False), ("mAP50", True)])
def test_a_metric_knows_which_way_is_up(tag: str, higher: bool) -> None:
    assert higher_is_better(tag) is higher


def test_an_unknown_name_has_no_role_and_a_reason() -> None:
    role, why = role_of("zorp")
    assert role is None
    assert why


@pytest.mark.parametrize(
    "name",
    "layer{}/norm map{} top{} lr{} lr/pg{} f1/{} acc_{} loss_{} l{} {} ap{} map50_{} weight_norm/{}".split(),
)
def test_no_rule_tells_numbers_of_three_digits_apart(name: str) -> None:
    assert _role_of(name.format("100")) == _role_of(name.format("4711"))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("accuracy", "val_accuracy", True),
        ("train/acc", "validation/accuracy_top1", True),
        ("mIoU", "val/jaccard", True),
        ("train_metric", "val_f1", True),  # a name that tells no metric contradicts none
        ("fast_rcnn/cls_accuracy", "bbox/AP", False),
        ("train/f1", "val/auc", False),
    ],
)
def test_two_tags_are_of_one_metric_unless_they_name_different_ones(one: str, other: str, same: bool) -> None:
    assert same_metric(one, other) is same
    assert same_metric(other, one) is same
