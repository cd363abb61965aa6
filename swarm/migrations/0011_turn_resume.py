from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0010_execution_pause"),
    ]

    operations = [
        migrations.AddField(
            model_name="node",
            name="conversation",
            field=models.PositiveIntegerField(
                default=0,
                help_text="the attempt that began the conversation which the next one goes on with; 0 for a fresh start",
            ),
        ),
        migrations.AddField(
            model_name="node",
            name="superseded_attempt",
            field=models.PositiveIntegerField(
                default=0, help_text="commits of attempts up to this one no longer stand for the story"
            ),
        ),
        migrations.AddField(
            model_name="turn",
            name="added",
            field=models.JSONField(default=list, help_text="messages put between the turn before and this call"),
        ),
        migrations.AddField(
            model_name="turn",
            name="request_digest",
            field=models.CharField(blank=True, help_text="SHA-256 of the request", max_length=64),
        ),
        migrations.AddField(
            model_name="turn",
            name="state",
            field=models.JSONField(
                help_text="the node's work after the turn; null until all tools have answered", null=True
            ),
        ),
        migrations.AddField(
            model_name="turn",
            name="is_set_aside",
            field=models.BooleanField(default=False, help_text="no longer part of the conversation"),
        ),
    ]
