"""The base model: what is trained, and how its prompt is read."""

from typing import Annotated, Literal

from pydantic import Field

from backend.config.base import Condition, Section, Ui


class ModelSection(Section):
    family: Annotated[
        str,
        Field(title="Model family"),
        Ui(tier="basic", widget="families", aliases=("model_train_type", "model_family", "model.type", "sdxl", "v2")),
    ] = "sd15"
    """The architecture of the base model. It is read from the file when you choose one; change it only if the
    detection is wrong. A LoRA works only with models of the family that it was trained on."""

    base_model: Annotated[
        str,
        Field(title="Base model"),
        Ui(
            tier="basic",
            widget="model",
            aliases=("pretrained_model_name_or_path", "base_model_name", "checkpoint_path"),
        ),
    ] = ""
    """The model to start from: a .safetensors file, a folder in the diffusers layout, or a Hugging Face id such as
    author/name. Train on the model that you will generate with, or on the original that it descends from."""

    vae: Annotated[
        str,
        Field(title="Separate VAE"),
        Ui(widget="model", aliases=("pretrained_vae_model_name_or_path", "vae_path", "vae_model_name_or_path")),
    ] = ""
    """A VAE used in place of the one in the base model: file, folder or hub id. For SDXL in fp16, a VAE repaired for
    half precision avoids black images. Leave empty to use the model's own."""

    config_dir: Annotated[str, Field(title="Configuration folder"), Ui(tier="experimental", widget="folder")] = ""
    """A diffusers folder whose configuration files and tokenizers describe a single-file model of unusual shape.
    Leave empty for any ordinary model: its configuration is built in."""

    revision: Annotated[str, Field(title="Hub revision"), Ui(tier="experimental", aliases=("hub_revision",))] = ""
    """Branch, tag or commit when the base model is a Hugging Face id. Empty is the main branch."""

    variant: Annotated[Literal["", "fp16"], Field(title="Hub variant"), Ui(tier="experimental")] = ""
    """Which weight files to take when the base model is a Hugging Face id or folder: fp16 halves the download."""

    trusted_checkpoint: Annotated[
        str, Field(title="Trusted .ckpt file"), Ui(tier="experimental", aliases=("allow_pickle",))
    ] = ""
    """Old .ckpt and .pt files can carry programs. Such a base model is refused unless its file name is repeated here;
    even then only tensors are read from it. Convert it to .safetensors when you can."""

    prediction_type: Annotated[
        Literal["auto", "epsilon", "v_prediction"],
        Field(title="Prediction type"),
        Ui(
            aliases=("v_parameterization", "v_pred", "is_v_pred", "force_v_prediction"),
            when=(Condition("family.prediction_types", "contains", "v_prediction"),),
        ),
    ] = "auto"
    """What the model was trained to predict: the noise (epsilon) or the velocity (v). It belongs to the base model and
    must match; a wrong choice gives grey noise. Auto reads it from the model."""

    clip_skip: Annotated[
        int,
        Field(title="CLIP skip", ge=1, le=12),
        Ui(
            unit="layers",
            aliases=("text_encoder_layer_skip",),
            when=(Condition("family.clip_skip", "eq", True),),
        ),
    ] = 1
    """Which layer from the end of the text encoder is used: 1 is the last. Many anime models of the SD 1.5 family
    expect 2. Use the value that you will generate with."""

    max_token_length: Annotated[
        Literal[75, 150, 225], Field(title="Caption length"), Ui(unit="tokens", aliases=("tokenizer_max_length",))
    ] = 75
    """How many tokens of a caption are read. Longer captions are cut. 150 and 225 are read in chunks of 75, as the
    common interfaces do; each chunk makes a step a little slower."""


class AdapterSection(Section):
    kind: Annotated[
        Literal["lora", "full"],
        Field(title="Training method"),
        Ui(tier="basic", aliases=("network_module", "lora_type", "training_method", "model_type", "network.type")),
    ] = "lora"
    """LoRA trains a small add-on file and fits on modest cards. Full trains every weight of the model (DreamBooth,
    fine-tuning): it learns more, needs several times the memory, and writes a whole model."""

    rank: Annotated[
        int,
        Field(title="LoRA rank", ge=1, le=1024),
        Ui(
            tier="basic",
            aliases=("network_dim", "lora_rank", "linear", "dim"),
            when=(Condition("adapter.kind", "eq", "lora"),),
        ),
    ] = 16
    """How much the LoRA can hold. 8 to 32 suits a character, 32 to 64 a style; higher learns more detail and more of
    the pictures' flaws, and the file grows in proportion."""

    alpha: Annotated[
        float,
        Field(title="LoRA alpha", gt=0),
        Ui(aliases=("network_alpha", "lora_alpha", "linear_alpha"), when=(Condition("adapter.kind", "eq", "lora"),)),
    ] = 16.0
    """The LoRA's effect is scaled by alpha / rank. Equal to the rank: no scaling. Half of it: weaker steps, so that the
    learning rate can be higher. Changing the rank alone changes the effective learning rate too."""

    dropout: Annotated[
        float,
        Field(title="LoRA dropout", ge=0, lt=1),
        Ui(aliases=("network_dropout", "lora_dropout"), when=(Condition("adapter.kind", "eq", "lora"),)),
    ] = 0.0
    """The share of the LoRA's inputs that is switched off at random in each step. 0.1 can hold off overfitting on very
    few pictures; too much learns slowly."""
